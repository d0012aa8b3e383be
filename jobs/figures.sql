-- The figures of the warehouse in PostgreSQL, which the checks ask for. Once: psql service=figures -f jobs/figures.sql
CREATE TABLE IF NOT EXISTS upstream_counts (
    data_date CHAR(8) PRIMARY KEY, files BIGINT NOT NULL, lines BIGINT NOT NULL, staged BIGINT NOT NULL,
    parse_failed BIGINT NOT NULL, no_customer BIGINT NOT NULL, duplicates BIGINT NOT NULL);
CREATE TABLE IF NOT EXISTS tag_counts (
    data_date CHAR(8), tagtype TEXT, tagid TEXT, tag_rows BIGINT NOT NULL, tag_count BIGINT NOT NULL,
    tag_total_per NUMERIC(7,4) NOT NULL, tag_dau_per NUMERIC(7,4) NOT NULL, PRIMARY KEY (data_date, tagid));
CREATE TABLE IF NOT EXISTS tagsmap_sums (
    data_date CHAR(8), tagid TEXT, users BIGINT NOT NULL, checksum BIGINT NOT NULL, PRIMARY KEY (data_date, tagid));
