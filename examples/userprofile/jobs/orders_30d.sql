-- Orders of the last 30 days, the date itself included, for everybody who has any.
DELETE FROM profile_tag_userid WHERE data_date = :ds AND tagid = 'act_orders_30d';
INSERT INTO profile_tag_userid
SELECT :ds, userid, 'act_orders_30d', count(*)
FROM purchases WHERE data_date > date(:ds, '-30 days') AND data_date <= :ds GROUP BY userid ORDER BY userid;
