"""End-to-end tests: a real control plane, the vCenter simulator with real guests, the operator, and kubectl."""
