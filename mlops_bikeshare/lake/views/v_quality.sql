SELECT q.*
FROM monitoring_quality AS q
INNER JOIN (
  SELECT city, MAX(window_end) AS newest_end
  FROM monitoring_quality
  GROUP BY city
) AS newest
  ON q.city = newest.city
WHERE q.window_end > newest.newest_end - INTERVAL '24' HOUR
