SELECT DISTINCT q.*
FROM monitoring_quality AS q
INNER JOIN (
  SELECT city, MAX(window_end) AS newest_end
  FROM monitoring_quality
  GROUP BY city
) AS newest
  ON q.city = newest.city
INNER JOIN (
  SELECT city, endpoint, model_version, target, horizon_min, window_end, MAX(revision) AS revision
  FROM monitoring_quality
  GROUP BY city, endpoint, model_version, target, horizon_min, window_end
) AS highest
  ON q.city = highest.city
  AND q.endpoint = highest.endpoint
  AND q.model_version = highest.model_version
  AND q.target = highest.target
  AND q.horizon_min = highest.horizon_min
  AND q.window_end = highest.window_end
  AND q.revision = highest.revision
WHERE q.window_end > newest.newest_end - INTERVAL '24' HOUR
