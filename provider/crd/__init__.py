"""The CustomResourceDefinitions, made from the models of `provider.api`: `python -m provider.crd FOLDER` writes them.

    structural    a model → the structural schema that the API server takes (no references, no unions), CEL rules in it
    definitions   the four kinds: names, columns, and the whole CustomResourceDefinition of each

The models are the only source; a test holds `crds/` and the models together. Nothing here runs in the operator.
"""
