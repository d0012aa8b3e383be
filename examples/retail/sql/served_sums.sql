-- What MariaDB serves: per tag how many users have it, and a checksum of their weights (jobs/README.md, "Figures").
SELECT k.tagid, count(*) AS users,
       sum(crc32(concat_ws('=', m.userid, k.tagid, json_value(m.tagsmap, concat('$.', k.tagid))))) AS checksum
FROM userprofile_tagsmap AS m,
     json_table(json_keys(m.tagsmap), '$[*]' COLUMNS (tagid VARCHAR(64) PATH '$')) AS k
WHERE m.data_date = :ds_nodash
GROUP BY k.tagid;
