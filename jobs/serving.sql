-- The serving tables in MariaDB. Once: mariadb --defaults-file=mariadb.cnf < jobs/serving.sql
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
