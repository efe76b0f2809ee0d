"""Slack: messages, reactions and files, by its Web API."""
