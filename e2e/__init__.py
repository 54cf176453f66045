"""End to end: the laboratory that everything runs in (`lab`), the demonstration (`demo`) and the tests (`tests`).

The Go modules beside them are what the laboratory is made of: `controlplane` (Kubernetes itself), `simulator` (a
vCenter with real guests) and `tools` (govc).
"""
