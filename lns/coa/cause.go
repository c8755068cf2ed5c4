package coa

import "strconv"

// ErrorCause is the Error-Cause, RFC 5176 section 3.5.
type ErrorCause uint32

// The causes that a NAS may send.
const (
	// CauseNone: the request is carried out. It is never sent.
	CauseNone ErrorCause = 0

	UnsupportedAttribute       ErrorCause = 401
	MissingAttribute           ErrorCause = 402
	NASIdentificationMismatch  ErrorCause = 403
	InvalidRequest             ErrorCause = 404
	UnsupportedService         ErrorCause = 405
	InvalidAttributeValue      ErrorCause = 407
	AdministrativelyProhibited ErrorCause = 501
	SessionContextNotFound     ErrorCause = 503
	// SessionContextNotRemovable is for a Disconnect-Request only.
	SessionContextNotRemovable  ErrorCause = 504
	ResourcesUnavailable        ErrorCause = 506
	MultipleSessionsUnsupported ErrorCause = 508
)

var causeNames = map[ErrorCause]string{
	CauseNone:                   "none",
	UnsupportedAttribute:        "Unsupported Attribute",
	MissingAttribute:            "Missing Attribute",
	NASIdentificationMismatch:   "NAS Identification Mismatch",
	InvalidRequest:              "Invalid Request",
	UnsupportedService:          "Unsupported Service",
	InvalidAttributeValue:       "Invalid Attribute Value",
	AdministrativelyProhibited:  "Administratively Prohibited",
	SessionContextNotFound:      "Session Context Not Found",
	SessionContextNotRemovable:  "Session Context Not Removable",
	ResourcesUnavailable:        "Resources Unavailable",
	MultipleSessionsUnsupported: "Multiple Session Selection Unsupported",
}

func (c ErrorCause) String() string {
	if n, ok := causeNames[c]; ok {
		return n
	}
	return "Error-Cause " + strconv.FormatUint(uint64(c), 10)
}
