-- One row per user: all tags of the date as one JSON object.
DELETE FROM userprofile_tagsmap WHERE data_date = :ds;
INSERT INTO userprofile_tagsmap
SELECT :ds, userid, json_group_object(tagid, tagweight)
FROM profile_tag_userid WHERE data_date = :ds GROUP BY userid ORDER BY userid;
