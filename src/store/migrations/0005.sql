-- Processes that were alive when an attempt's program had ended: those that were ended, and those that were left (`leave_processes`).
ALTER TABLE attempts ADD COLUMN left_behind INTEGER NOT NULL DEFAULT 0;
ALTER TABLE attempts ADD COLUMN left_running INTEGER NOT NULL DEFAULT 0;
