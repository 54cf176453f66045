"""The seam to Kubernetes: the only place that speaks to the API server. Objects are plain dicts, as it gives them.

`client` makes requests and turns failures into `errors.KubeError`s; `embedded` runs kopf as a part of this process, and
`pod_watch` with it the Pods of one node; `objects` watches what Pods name; the others are writes, one module for each
subject.
"""
