"""The dashboards as code: `pipeline`, `science`, `catalogues`, `model`; `make manifests` writes them as JSON."""
