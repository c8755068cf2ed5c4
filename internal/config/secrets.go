package config

import (
	"encoding/hex"
	"errors"
	"io/fs"
	"strings"
)

// maxSecretFile bounds a secret, in octets.
const maxSecretFile = 1024

// auth is what a peer and a tunnel share.
type auth struct {
	secret    Secret
	challenge bool
	hide      bool
}

// authentication reads secret, secret_file, challenge and hide_avps. With a
// secret, the peer is challenged unless the file says otherwise.
func (c *checker) authentication(at string, raw rawSecret) auth {
	a := auth{secret: c.secret(at, raw.rawShared)}
	has := len(a.secret) > 0 || raw.Secret != nil || raw.SecretFile != nil // a wrong one was reported
	a.challenge = yes(raw.Challenge, has)
	a.hide = yes(raw.HideAVPs, false)
	if a.challenge && !has {
		c.add(joinKey(at, "challenge"), "is true, but there is no secret to check the answer with; set secret or secret_file")
	}
	// RFC 2661 section 4.3: "The H bit MUST only be set if a shared secret
	// exists between the LAC and LNS."
	if a.hide && !has {
		c.add(joinKey(at, "hide_avps"), "is true, but AVPs are hidden with the shared secret; set secret or secret_file")
	}
	return a
}

func (c *checker) secret(at string, raw rawShared) Secret {
	return c.secretOf(joinKey(at, "secret"), raw.Secret, joinKey(at, "secret_file"), raw.SecretFile)
}

func (c *checker) password(at string, raw rawPassword) Secret {
	key, fileKey := joinKey(at, "password"), joinKey(at, "password_file")
	password := c.secretOf(key, raw.Password, fileKey, raw.PasswordFile)
	if raw.Password == nil {
		key = fileKey
	}
	// RFC 1334 section 2.2.1: "The Passwd-Length field is one octet".
	if len(password) > maxPPPName {
		c.add(key, "has %d octets; %d is the most that PAP carries", len(password), maxPPPName)
	}
	return password
}

// ntHash reads the hash of a password, which is as good as the password itself.
// RFC 2759 section 8.3: "NtPasswordHash( IN 0-to-256-unicode-char Password, OUT
// 16-octet PasswordHash )".
func (c *checker) ntHash(key string, raw *string) Secret {
	if raw == nil {
		return nil
	}
	const size = 16
	hash, err := hex.DecodeString(*raw)
	if err != nil || len(hash) != size {
		c.add(key, "is not the hash of a password; write its 16 octets as 32 hexadecimal digits")
		return nil
	}
	if c.open {
		c.warn(key, "everybody may read this file, and the hash is as good as the password; chmod o-r %s", c.file)
	}
	return hash
}

// secretOf reads a secret that stands in the file, or in one of its own.
func (c *checker) secretOf(key string, text *string, fileKey string, file *string) Secret {
	what := key[strings.LastIndexByte(key, '.')+1:]
	if text != nil && file != nil {
		article := "a"
		if strings.ContainsRune("aeiou", rune(what[0])) {
			article = "an"
		}
		c.add(fileKey, "there is %s %s too; keep one of them", article, what)
	}
	if text != nil {
		if *text == "" {
			c.add(key, "is empty; write the %s, or take the key away", what)
		}
		if c.open {
			c.warn(key, "everybody may read this file; chmod o-r %s, or use %s_file", c.file, what)
		}
		return Secret(*text)
	}
	if file == nil {
		return nil
	}
	if *file == "" {
		c.add(fileKey, "is empty; write a path, or take the key away")
		return nil
	}
	path := c.relativePath(*file)
	data, mode, err := readFile(c.sys.FS, path, maxSecretFile)
	if err != nil {
		c.addCause(fileKey, err, "%s cannot be read: %v", path, pathCause(err))
		return nil
	}
	if mode.Perm()&0o004 != 0 {
		c.add(fileKey, "%s can be read by everybody (mode %04o); chmod o-r %s", path, mode.Perm(), path)
	}
	value := strings.TrimSuffix(strings.TrimSuffix(string(data), "\n"), "\r")
	switch {
	case value == "":
		c.add(fileKey, "%s is empty; write the %s into it", path, what)
	case strings.ContainsRune(value, '\n'):
		c.add(fileKey, "%s has more than one line; write the %s alone into it", path, what)
	}
	return Secret(value)
}

// pathCause takes the operation and the path off a system's error, since the
// sentence around it names the path already.
func pathCause(err error) error {
	var p *fs.PathError
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return errors.New("there is no such file")
	case errors.Is(err, fs.ErrPermission):
		return errors.New("no permission")
	case errors.As(err, &p):
		return p.Err
	}
	return err
}
