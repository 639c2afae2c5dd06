"""Public data sets, as they are downloaded, as manifests. Imports `cohort` and `pages`."""
