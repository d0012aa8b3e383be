-- Days since the last purchase, for everybody who ever bought.
DELETE FROM profile_tag_userid WHERE data_date = :ds AND tagid = 'act_last_purchase_days';
INSERT INTO profile_tag_userid
SELECT :ds, userid, 'act_last_purchase_days', CAST(julianday(:ds) - julianday(max(data_date)) AS INTEGER)
FROM purchases WHERE data_date <= :ds GROUP BY userid ORDER BY userid;
