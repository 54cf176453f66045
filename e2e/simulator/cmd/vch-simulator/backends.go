package main

import (
	"log/slog"
	"path/filepath"

	"vch.dev/e2e/simulator/guest"
	"vch.dev/e2e/simulator/native"
	"vch.dev/e2e/simulator/qemu"
	"vch.dev/e2e/simulator/simulated"
)

// backends makes those kinds of guests that there is an image, or a port, for.
func backends(o options, log *slog.Logger) ([]guest.Backend, error) {
	var made []guest.Backend
	if o.qemuImage != "" {
		backend, err := qemu.New(qemu.Config{
			Image: o.qemuImage, StateDir: filepath.Join(o.stateDir, "qemu"), Log: log,
		})
		if err != nil {
			return nil, err
		}
		made = append(made, backend)
	}
	if o.nativeImage != "" {
		backend, err := native.New(native.Config{
			Image: o.nativeImage, Cgroups: o.cgroups, Log: log,
		})
		if err != nil {
			return nil, err
		}
		made = append(made, backend)
	}
	if o.simulated != "" {
		backend, err := simulated.New(simulated.Config{Listen: o.simulated, Log: log})
		if err != nil {
			return nil, err
		}
		made = append(made, backend)
	}
	return made, nil
}
