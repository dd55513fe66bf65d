"""Schedules: jobs that start at times of a cron expression."""
