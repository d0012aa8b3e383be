-- The serving tables in MariaDB. Once: mariadb --defaults-file=mariadb.cnf < jobs/serving.sql
CREATE TABLE IF NOT EXISTS stage_count (
    data_date CHAR(8), `lines` INT NOT NULL, staged INT NOT NULL, parse_failed INT NOT NULL, no_customer INT NOT NULL,
    duplicates INT NOT NULL, PRIMARY KEY (data_date)) ENGINE=InnoDB;
CREATE TABLE IF NOT EXISTS tag_count (
    data_date CHAR(8), tagid VARCHAR(64), tag_rows INT NOT NULL, tag_count INT NOT NULL, tag_total_per DECIMAL(7,4) NOT NULL,
    tag_dau_per DECIMAL(7,4) NOT NULL, PRIMARY KEY (data_date, tagid)) ENGINE=InnoDB;
CREATE TABLE IF NOT EXISTS userprofile_tagsmap (
    data_date CHAR(8), userid VARCHAR(16), tagsmap JSON NOT NULL, PRIMARY KEY (data_date, userid)) ENGINE=InnoDB;
CREATE TABLE IF NOT EXISTS audience_rule (
    audience_id VARCHAR(64) PRIMARY KEY, title VARCHAR(200) NOT NULL, rule JSON NOT NULL,
    is_enabled BOOLEAN NOT NULL DEFAULT TRUE) ENGINE=InnoDB;
CREATE TABLE IF NOT EXISTS audience_user (
    data_date CHAR(8), audience_id VARCHAR(64), userid VARCHAR(16), PRIMARY KEY (data_date, audience_id, userid)) ENGINE=InnoDB;
CREATE TABLE IF NOT EXISTS audience_count (
    data_date CHAR(8), audience_id VARCHAR(64), title VARCHAR(200) NOT NULL, users INT NOT NULL,
    PRIMARY KEY (data_date, audience_id)) ENGINE=InnoDB;
