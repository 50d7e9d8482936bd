SELECT DISTINCT
  i.city, i.endpoint, i.station_id, i.dt, i.horizon_min,
  CAST(i.p_bikeout AS DOUBLE) AS p_bikeout,
  CAST(i.p_dockout AS DOUBLE) AS p_dockout
FROM inference AS i
INNER JOIN (
  SELECT city, endpoint, MAX(dt) AS newest_dt
  FROM inference
  GROUP BY city, endpoint
) AS newest
  ON i.city = newest.city AND i.endpoint = newest.endpoint AND i.dt = newest.newest_dt
WHERE i.horizon_min <= 120
