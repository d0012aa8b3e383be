DELETE FROM tag_count WHERE data_date = :ds;
INSERT INTO tag_count
SELECT :ds, CASE WHEN tagid = 'act_level' THEN 'act_level_' || tagweight ELSE tagid END AS tag, count(*)
FROM profile_tag_userid WHERE data_date = :ds GROUP BY tag;
SELECT tagid, users FROM tag_count WHERE data_date = :ds ORDER BY tagid;
