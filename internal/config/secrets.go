package config

import (
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
	a := auth{secret: c.secret(at, raw)}
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

func (c *checker) secret(at string, raw rawSecret) Secret {
	key, fileKey := joinKey(at, "secret"), joinKey(at, "secret_file")
	if raw.Secret != nil && raw.SecretFile != nil {
		c.add(fileKey, "there is a secret too; keep one of them")
	}
	if raw.Secret != nil {
		if *raw.Secret == "" {
			c.add(key, "is empty; write the secret, or take the key away")
		}
		if c.open {
			c.warn(key, "everybody may read this file; chmod o-r %s, or use secret_file", c.file)
		}
		return Secret(*raw.Secret)
	}
	if raw.SecretFile == nil {
		return nil
	}
	if *raw.SecretFile == "" {
		c.add(fileKey, "is empty; write a path, or take the key away")
		return nil
	}
	path := c.relativePath(*raw.SecretFile)
	data, mode, err := readFile(c.sys.FS, path, maxSecretFile)
	if err != nil {
		c.addCause(fileKey, err, "%s cannot be read: %v", path, pathCause(err))
		return nil
	}
	if mode.Perm()&0o004 != 0 {
		c.add(fileKey, "%s can be read by everybody (mode %04o); chmod o-r %s", path, mode.Perm(), path)
	}
	text := strings.TrimSuffix(strings.TrimSuffix(string(data), "\n"), "\r")
	switch {
	case text == "":
		c.add(fileKey, "%s is empty; write the secret into it", path)
	case strings.ContainsRune(text, '\n'):
		c.add(fileKey, "%s has more than one line; write the secret alone into it", path)
	}
	return Secret(text)
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
