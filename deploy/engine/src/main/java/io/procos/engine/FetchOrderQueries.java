package io.procos.engine;

/** What {@link FetchOrderIndex} asks PostgreSQL; each question takes two parameters, the table and the index. */
final class FetchOrderQueries {

  private static final String GIVEN =
      "WITH given AS (SELECT to_regclass(?) AS relation, lower(CAST(? AS text)) AS name) ";

  private static final String INDEX =
      "SELECT 1 FROM given, pg_index i JOIN pg_class c ON c.oid = i.indexrelid JOIN pg_am a ON a.oid = c.relam"
          + " WHERE i.indrelid = given.relation ";

  private static final String UNFINISHED = "EXISTS (" + INDEX + "AND c.relname = given.name AND NOT i.indisvalid)";

  /** A build holds this lock from beginning to end, and everybody may see it; so does a vacuum, which is soon over. */
  private static final String BUSY =
      "EXISTS (SELECT 1 FROM given, pg_locks l WHERE l.relation = given.relation AND l.granted"
          + " AND l.mode = 'ShareUpdateExclusiveLock'"
          + " AND l.database = (SELECT oid FROM pg_database WHERE datname = current_database()))";

  /** Whether an index gives this order, whoever made it; 3 and 0 are DESC and ASC, and it may be read backwards. */
  static final String SERVES =
      GIVEN + "SELECT EXISTS (" + INDEX
          + "AND i.indisvalid AND i.indpred IS NULL AND a.amname = 'btree'"
          + " AND pg_get_indexdef(i.indexrelid, 1, true) = 'priority_'"
          + " AND pg_get_indexdef(i.indexrelid, 2, true) = 'create_time_'"
          + " AND (i.indoption[0], i.indoption[1]) IN ((3, 0), (0, 3)))";

  /** Whether it is there unfinished, and somebody is at it. */
  static final String IS_BEING_MADE = GIVEN + "SELECT " + UNFINISHED + " AND " + BUSY;

  /** Whether it is there unfinished, and nobody is at it any more. */
  static final String IS_BROKEN = GIVEN + "SELECT " + UNFINISHED + " AND NOT " + BUSY;

  /** Whether the turn among the engines of this database is ours; no is said at once. */
  static final String TAKE_TURN =
      GIVEN + "SELECT pg_try_advisory_lock(hashtext(name), CAST(relation AS oid)::int) FROM given";

  /** Gives the turn back. */
  static final String END_TURN =
      GIVEN + "SELECT pg_advisory_unlock(hashtext(name), CAST(relation AS oid)::int) FROM given";

  private FetchOrderQueries() {}
}
