"""Alarms, the dashboard, and saved queries."""
