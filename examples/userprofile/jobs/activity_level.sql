-- high: at least two orders in 30 days, the last within :high_active_days days; mid: one of the two; low: an order in
-- 30 days; churned: none.
DELETE FROM profile_tag_userid WHERE data_date = :ds AND tagid = 'act_level';
INSERT INTO profile_tag_userid
SELECT :ds, recency.userid, 'act_level',
       CASE WHEN coalesce(orders.tagweight, 0) >= 2 AND recency.tagweight <= CAST(:high_active_days AS INTEGER) THEN 'high'
            WHEN coalesce(orders.tagweight, 0) >= 2 OR recency.tagweight <= CAST(:high_active_days AS INTEGER) THEN 'mid'
            WHEN orders.tagweight >= 1 THEN 'low'
            ELSE 'churned' END
FROM profile_tag_userid AS recency
LEFT JOIN profile_tag_userid AS orders
       ON orders.data_date = :ds AND orders.tagid = 'act_orders_30d' AND orders.userid = recency.userid
WHERE recency.data_date = :ds AND recency.tagid = 'act_last_purchase_days' ORDER BY recency.userid;
