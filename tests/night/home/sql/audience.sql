DELETE FROM audience WHERE day = :ds;
INSERT INTO audience (day, user)
SELECT a.day, a.user FROM tags a JOIN tags b ON b.day = a.day AND b.user = a.user
WHERE a.day = :ds AND a.tag = 'buys_often' AND b.tag = 'looks_at_news';
