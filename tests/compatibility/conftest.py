"""The projects of earlier releases have tests of their own, which run in a copy: test_previous_projects.py."""

collect_ignore_glob = ["*/project"]
