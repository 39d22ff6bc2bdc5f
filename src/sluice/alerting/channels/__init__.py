"""The kinds of channels, one a module: what conf/alerts.yaml says of one, and how it delivers a message."""
