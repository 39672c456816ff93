"""The schemas of messages and events, as JSON Schema and AsyncAPI, and what a newer one breaks."""
