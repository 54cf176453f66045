package main

import (
	"log/slog"

	"vch.dev/e2e/simulator/guest"
)

// backends makes those kinds of guests that there is an image for.
func backends(options, *slog.Logger) ([]guest.Backend, error) { return nil, nil }
