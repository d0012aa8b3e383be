DELETE FROM tag_count WHERE data_date = :ds;
INSERT INTO tag_count
SELECT :ds, tagid, count(*) FROM profile_tag_userid WHERE data_date = :ds AND tagid <> 'act_level' GROUP BY tagid;
INSERT INTO tag_count
SELECT :ds, 'act_level_' || tagweight, count(*)
FROM profile_tag_userid WHERE data_date = :ds AND tagid = 'act_level' GROUP BY tagweight;
SELECT tagid, users FROM tag_count WHERE data_date = :ds ORDER BY tagid;
