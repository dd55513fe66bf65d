"""New files of folders and buckets become jobs, and their results files."""
