-- Number of orders, total and average amount since the beginning.
DELETE FROM profile_tag_userid WHERE data_date = :ds AND tagid IN ('val_orders', 'val_total', 'val_average');
INSERT INTO profile_tag_userid
SELECT :ds, userid, 'val_orders', count(*)
FROM purchases WHERE data_date <= :ds GROUP BY userid ORDER BY userid;
INSERT INTO profile_tag_userid
SELECT :ds, userid, 'val_total', sum(amount_cents) / 100.0
FROM purchases WHERE data_date <= :ds GROUP BY userid ORDER BY userid;
INSERT INTO profile_tag_userid
SELECT :ds, userid, 'val_average', (2 * sum(amount_cents) + count(*)) / (2 * count(*)) / 100.0  -- rounded half up
FROM purchases WHERE data_date <= :ds GROUP BY userid ORDER BY userid;
