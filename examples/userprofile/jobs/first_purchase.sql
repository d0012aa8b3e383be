-- The date of the first purchase.
DELETE FROM profile_tag_userid WHERE data_date = :ds AND tagid = 'val_first_purchase';
INSERT INTO profile_tag_userid
SELECT :ds, userid, 'val_first_purchase', min(data_date)
FROM purchases WHERE data_date <= :ds GROUP BY userid ORDER BY userid;
