package main

import (
	"fmt"
	"runtime"
	"runtime/debug"

	"github.com/spf13/cobra"
)

// version is set by the linker: -ldflags "-X main.version=v1.2.3".
var version string

// buildVersion is what this binary was built from.
type buildVersion struct {
	Version  string `json:"version"`
	Revision string `json:"revision,omitempty"` // of the source
	Modified bool   `json:"modified,omitempty"` // with changes on top of it
	Go       string `json:"go"`
	Platform string `json:"platform"`
}

func versionCommand(f *flags) *cobra.Command {
	return &cobra.Command{
		Use:   "version",
		Short: "Show the version of this binary",
		Args:  noArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			v := thisBuild()
			if f.json {
				return writeJSON(c.OutOrStdout(), v)
			}
			_, err := fmt.Fprintln(c.OutOrStdout(), v)
			return err
		},
	}
}

// thisBuild describes the running binary.
func thisBuild() buildVersion {
	info, _ := debug.ReadBuildInfo()
	return describeBuild(version, info)
}

// describeBuild prefers what the linker was told; info may be nil.
func describeBuild(linked string, info *debug.BuildInfo) buildVersion {
	v := buildVersion{Version: linked, Go: runtime.Version(), Platform: runtime.GOOS + "/" + runtime.GOARCH}
	if info != nil {
		if v.Version == "" && info.Main.Version != "" && info.Main.Version != "(devel)" {
			v.Version = info.Main.Version
		}
		for _, s := range info.Settings {
			switch s.Key {
			case "vcs.revision":
				v.Revision = s.Value
			case "vcs.modified":
				v.Modified = s.Value == "true"
			}
		}
	}
	if v.Version == "" {
		v.Version = "unknown"
	}
	return v
}

// String is the version on one line.
func (v buildVersion) String() string {
	s := "adit " + v.Version
	if v.Revision != "" {
		s += " (" + v.Revision[:min(len(v.Revision), 12)]
		if v.Modified {
			s += ", modified"
		}
		s += ")"
	}
	return fmt.Sprintf("%s %s %s", s, v.Go, v.Platform)
}
