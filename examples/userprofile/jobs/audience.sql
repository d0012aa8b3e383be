-- Bought at least twice in 30 days and highly active, minus those contacted in the days before. Whoever is in the
-- audience is contacted, so both are written in one transaction.
DELETE FROM audience WHERE data_date = :ds AND audience_id = 'repeat_high_active';
DELETE FROM contact_log WHERE data_date = :ds;
INSERT INTO audience
SELECT :ds, 'repeat_high_active', userid
FROM userprofile_tagsmap
WHERE data_date = :ds
  AND json_extract(tagsmap, '$.act_orders_30d') >= 2
  AND json_extract(tagsmap, '$.act_level') = 'high'
  AND userid NOT IN (SELECT userid FROM contact_log
                     WHERE data_date >= date(:ds, '-' || :quiet_days || ' days') AND data_date < :ds);
INSERT INTO contact_log SELECT :ds, userid FROM audience WHERE data_date = :ds AND audience_id = 'repeat_high_active';
