"""The REST API of `sluice serve`: reads the lake's tables, changes nothing, needs no JVM."""
