"""The audit log: who changed what, and who read data of others."""
