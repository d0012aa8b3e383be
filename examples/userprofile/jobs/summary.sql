SELECT (SELECT count(DISTINCT userid) FROM userprofile_tagsmap WHERE data_date = :ds) AS users,
       (SELECT users FROM tag_count WHERE data_date = :ds AND tagid = 'act_level_high') AS highly_active,
       (SELECT users FROM tag_count WHERE data_date = :ds AND tagid = 'act_level_churned') AS churned,
       (SELECT count(*) FROM audience WHERE data_date = :ds) AS audience;
