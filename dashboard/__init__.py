"""The screen: pages, charts and tables drawn from experiment folders. Never imports torch."""
