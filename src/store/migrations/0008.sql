-- Where in an attempt's log the output of its program lies, in bytes; NULL: not known. What is around it is crondag's own.
ALTER TABLE attempts ADD COLUMN printed_from INTEGER;
ALTER TABLE attempts ADD COLUMN printed_until INTEGER;
