"""Delta tables: the only place that writes them, and the lake's folders, locks and format."""
