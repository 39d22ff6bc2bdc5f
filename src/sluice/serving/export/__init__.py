"""Tables as files for other people: one per day and customer, whole or not at all, with a manifest and checksums."""
