SELECT audience.userid, json_extract(tagsmap, '$.act_orders_30d') AS orders_30d,
       printf('%.2f', json_extract(tagsmap, '$.val_total')) AS total
FROM audience JOIN userprofile_tagsmap USING (data_date, userid)
WHERE audience.data_date = :ds AND audience_id = 'repeat_high_active' ORDER BY audience.userid;
