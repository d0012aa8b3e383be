CREATE TABLE IF NOT EXISTS purchases (
    data_date TEXT, line INTEGER, userid INTEGER, quantity INTEGER, amount_cents INTEGER,
    PRIMARY KEY (data_date, line)) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS profile_tag_userid (
    data_date TEXT, userid INTEGER, tagid TEXT, tagweight,
    PRIMARY KEY (data_date, tagid, userid)) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS userprofile_tagsmap (
    data_date TEXT, userid INTEGER, tagsmap JSON,
    PRIMARY KEY (data_date, userid)) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS audience (
    data_date TEXT, audience_id TEXT, userid INTEGER,
    PRIMARY KEY (data_date, audience_id, userid)) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS contact_log (
    data_date TEXT, userid INTEGER,
    PRIMARY KEY (data_date, userid)) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS tag_count (
    data_date TEXT, tagid TEXT, users INTEGER,
    PRIMARY KEY (data_date, tagid)) WITHOUT ROWID;
