# Copyright: (c) 2026, Terragon
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What the facts of a database and of its cluster are read with. Names are complete (search_path is pg_catalog).

Left out everywhere: PostgreSQL's own schemas, temporary things, and what belongs to an extension (its version is a
fact of its own).

PRIVATE to the collection.
"""

from __future__ import annotations

_OURS = "n.nspname !~ '^pg_' AND n.nspname NOT IN ('information_schema', 'dr_verify')"


def _no_member(catalogue: str, oid: str) -> str:
    return (
        f"NOT EXISTS (SELECT FROM pg_depend d WHERE d.classid = '{catalogue}'::regclass AND d.objid = {oid}"
        " AND d.deptype = 'e')"
    )


SERVER = """
SELECT current_setting('server_version'), current_setting('server_version_num')::int,
       (SELECT system_identifier::text FROM pg_control_system()), (SELECT timeline_id FROM pg_control_checkpoint()),
       pg_is_in_recovery(),
       CASE WHEN pg_is_in_recovery() THEN pg_last_wal_replay_lsn() ELSE pg_current_wal_lsn() END::text,
       clock_timestamp()
"""

SETTINGS = """
SELECT name, setting FROM pg_settings
WHERE name IN ('shared_preload_libraries', 'data_checksums', 'server_encoding', 'wal_level', 'block_size',
               'max_connections', 'max_prepared_transactions', 'default_text_search_config', 'TimeZone', 'lc_messages',
               'standard_conforming_strings', 'password_encryption', 'track_commit_timestamp')
"""

#: attributes of roles; what ALTER ROLE SET configured is a digest, as it may hold anything
ROLES = """
SELECT rolname, json_build_object('superuser', rolsuper, 'inherit', rolinherit, 'createrole', rolcreaterole,
       'createdb', rolcreatedb, 'login', rolcanlogin, 'replication', rolreplication, 'bypassrls', rolbypassrls,
       'connection_limit', rolconnlimit, 'valid_until', rolvaliduntil,
       'settings', (SELECT md5(string_agg(coalesce(d.datname, '') || array_to_string(s.setconfig, ','), ';'
                                          ORDER BY d.datname))
                    FROM pg_db_role_setting s LEFT JOIN pg_database d ON d.oid = s.setdatabase WHERE s.setrole = r.oid))
FROM pg_roles r WHERE rolname !~ '^pg_'
"""

MEMBERSHIPS = """
SELECT DISTINCT member.rolname || ' in ' || role.rolname
       || CASE WHEN m.admin_option THEN ' with admin option' ELSE '' END
FROM pg_auth_members m JOIN pg_roles member ON member.oid = m.member JOIN pg_roles role ON role.oid = m.roleid
WHERE member.rolname !~ '^pg_'
"""

TABLESPACES = "SELECT spcname FROM pg_tablespace WHERE spcname !~ '^pg_'"

DATABASES = """
SELECT datname, json_build_object('owner', pg_get_userbyid(datdba), 'encoding', pg_encoding_to_char(encoding),
       'collate', datcollate, 'ctype', datctype, 'connection_limit', datconnlimit)
FROM pg_database WHERE datallowconn
"""

#: the version that text was sorted by, and the one that it would be sorted by now; since PostgreSQL 15
DATABASE_COLLATION = """
SELECT datcollversion, pg_database_collation_actual_version(oid)
FROM pg_database WHERE datname = current_database()
"""

#: those that something uses whose version is another one by now, with the indexes that are sorted by it
COLLATIONS = """
SELECT format('%I.%I', n.nspname, c.collname), c.collversion, pg_collation_actual_version(c.oid),
       (SELECT string_agg(DISTINCT r.oid::regclass::text, ', ')
        FROM pg_attribute a JOIN pg_class r ON r.oid = a.attrelid
        WHERE a.attcollation = c.oid AND r.relkind = 'i')
FROM pg_collation c JOIN pg_namespace n ON n.oid = c.collnamespace
WHERE c.collversion IS NOT NULL AND EXISTS (SELECT FROM pg_attribute WHERE attcollation = c.oid)
  AND c.collversion IS DISTINCT FROM pg_collation_actual_version(c.oid)
"""

EXTENSIONS = """
SELECT e.extname, json_build_object('version', e.extversion, 'installed', a.name IS NOT NULL)
FROM pg_extension e LEFT JOIN pg_available_extensions a ON a.name = e.extname
"""

TABLES = f"""
SELECT c.oid::regclass::text, json_build_object('kind', c.relkind, 'persistence', c.relpersistence,
       'estimate', c.reltuples::int8, 'bytes', pg_relation_size(c.oid), 'populated', c.relispopulated,
       'owner', pg_get_userbyid(c.relowner), 'row_security', c.relrowsecurity, 'leaf', c.relkind IN ('r', 'm'),
       'columns', (SELECT md5(string_agg(concat_ws(' ', quote_ident(attname), format_type(atttypid, atttypmod),
                                                   attnotnull, attidentity, attgenerated), ',' ORDER BY attname))
                   FROM pg_attribute WHERE attrelid = c.oid AND attnum > 0 AND NOT attisdropped))
FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE c.relkind IN ('r', 'p', 'm', 'v', 'f') AND c.relpersistence <> 't' AND {_OURS}
  AND {_no_member("pg_class", "c.oid")}
"""

SEQUENCES = f"""
SELECT format('%I.%I', s.schemaname, s.sequencename),
       json_build_object('last', s.last_value, 'start', s.start_value, 'step', s.increment_by, 'cycle', s.cycle)
FROM pg_sequences s JOIN pg_namespace n ON n.nspname = s.schemaname
JOIN pg_class c ON c.relname = s.sequencename AND c.relnamespace = n.oid
WHERE c.relpersistence <> 't' AND {_OURS} AND {_no_member("pg_class", "c.oid")}
"""

#: columns that a sequence numbers: it is theirs (serial, identity), or their default asks for it
NUMBERED = f"""
SELECT DISTINCT q.oid::regclass::text, t.oid::regclass::text, quote_ident(a.attname)
FROM pg_class q JOIN pg_namespace n ON n.oid = q.relnamespace
JOIN (SELECT objid AS sequence, refobjid AS relation, refobjsubid AS attribute FROM pg_depend
      WHERE classid = 'pg_class'::regclass AND refclassid = 'pg_class'::regclass
        AND refobjsubid > 0 AND deptype IN ('a', 'i')
      UNION
      SELECT d.refobjid, v.adrelid, v.adnum FROM pg_depend d JOIN pg_attrdef v ON v.oid = d.objid
      WHERE d.classid = 'pg_attrdef'::regclass AND d.refclassid = 'pg_class'::regclass
        AND pg_get_expr(v.adbin, v.adrelid) ~ '^nextval\\(') u ON u.sequence = q.oid
JOIN pg_class t ON t.oid = u.relation AND t.relpersistence <> 't'
JOIN pg_attribute a ON a.attrelid = t.oid AND a.attnum = u.attribute AND NOT a.attisdropped
WHERE q.relkind = 'S' AND {_OURS}
  AND a.atttypid IN ('int2'::regtype, 'int4'::regtype, 'int8'::regtype, 'numeric'::regtype)
"""

#: without those that a partition has from its table: they are named anew when it is restored
CONSTRAINTS = f"""
SELECT coalesce(nullif(c.conrelid, 0)::regclass::text, c.contypid::regtype::text) || ': ' || quote_ident(c.conname),
       json_build_object('kind', c.contype, 'validated', c.convalidated,
                         'digest', md5(regexp_replace(pg_get_constraintdef(c.oid), ' NOT VALID$', '')))
FROM pg_constraint c JOIN pg_namespace n ON n.oid = c.connamespace
WHERE c.contype NOT IN ('t', 'n') AND c.conparentid = 0 AND {_OURS} AND {_no_member("pg_class", "c.conrelid")}
"""

INDEXES = f"""
SELECT c.oid::regclass::text, json_build_object('table', i.indrelid::regclass::text, 'valid', i.indisvalid,
       'digest', md5(pg_get_indexdef(c.oid)))
FROM pg_index i JOIN pg_class c ON c.oid = i.indexrelid JOIN pg_class r ON r.oid = i.indrelid
JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE c.relpersistence <> 't' AND {_OURS} AND {_no_member("pg_class", "i.indrelid")}
"""

TRIGGERS = f"""
SELECT r.oid::regclass::text || ': ' || quote_ident(t.tgname), json_build_object('enabled', t.tgenabled,
       'digest', md5(pg_get_triggerdef(t.oid)))
FROM pg_trigger t JOIN pg_class r ON r.oid = t.tgrelid JOIN pg_namespace n ON n.oid = r.relnamespace
WHERE NOT t.tgisinternal AND {_OURS} AND {_no_member("pg_class", "r.oid")}
"""

#: triggers of foreign keys have no stable name: what counts is how many of a table's are switched off
SWITCHED_OFF = f"""
SELECT r.oid::regclass::text, count(*) FROM pg_trigger t JOIN pg_class r ON r.oid = t.tgrelid
JOIN pg_namespace n ON n.oid = r.relnamespace WHERE t.tgisinternal AND t.tgenabled = 'D' AND {_OURS} GROUP BY 1
"""

FUNCTIONS = f"""
SELECT p.oid::regprocedure::text, md5(concat_ws(' ', p.prokind, l.lanname, p.prosecdef, p.provolatile, p.proretset,
       format_type(p.prorettype, NULL), p.prosrc, p.proconfig::text))
FROM pg_proc p JOIN pg_namespace n ON n.oid = p.pronamespace JOIN pg_language l ON l.oid = p.prolang
WHERE {_OURS} AND {_no_member("pg_proc", "p.oid")}
"""

POLICIES = f"""
SELECT r.oid::regclass::text || ': ' || quote_ident(p.polname), md5(concat_ws(' ', p.polcmd, p.polpermissive,
       pg_get_expr(p.polqual, p.polrelid), pg_get_expr(p.polwithcheck, p.polrelid)))
FROM pg_policy p JOIN pg_class r ON r.oid = p.polrelid JOIN pg_namespace n ON n.oid = r.relnamespace WHERE {_OURS}
"""

TYPES = f"""
SELECT t.oid::regtype::text, md5(concat_ws(' ', t.typtype, format_type(t.typbasetype, t.typtypmod), t.typnotnull,
       (SELECT string_agg(quote_literal(enumlabel), ',' ORDER BY enumsortorder) FROM pg_enum WHERE enumtypid = t.oid)))
FROM pg_type t JOIN pg_namespace n ON n.oid = t.typnamespace LEFT JOIN pg_class r ON r.oid = t.typrelid
WHERE t.typtype IN ('c', 'd', 'e', 'r') AND coalesce(r.relkind, 'c') = 'c' AND {_OURS}
  AND {_no_member("pg_type", "t.oid")}
"""

LARGE_OBJECTS = "SELECT count(*) FROM pg_largeobject_metadata"

#: who may do what with an object; its owner's own rights are left out, and who granted it
GRANTS = f"""
WITH holders AS (
  SELECT CASE c.relkind WHEN 'S' THEN 'sequence ' ELSE 'table ' END || c.oid::regclass AS object, c.relowner AS owner,
         coalesce(c.relacl, acldefault(CASE c.relkind WHEN 'S' THEN 's' ELSE 'r' END::"char", c.relowner)) AS rights
  FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
  WHERE c.relkind IN ('r', 'p', 'm', 'v', 'f', 'S') AND c.relpersistence <> 't' AND {_OURS}
    AND {_no_member("pg_class", "c.oid")}
  UNION ALL
  SELECT format('column %s.%I', c.oid::regclass, a.attname), c.relowner, a.attacl
  FROM pg_attribute a JOIN pg_class c ON c.oid = a.attrelid JOIN pg_namespace n ON n.oid = c.relnamespace
  WHERE a.attacl IS NOT NULL AND NOT a.attisdropped AND c.relpersistence <> 't' AND {_OURS}
    AND {_no_member("pg_class", "c.oid")}
  UNION ALL
  SELECT 'function ' || p.oid::regprocedure, p.proowner, coalesce(p.proacl, acldefault('f', p.proowner))
  FROM pg_proc p JOIN pg_namespace n ON n.oid = p.pronamespace WHERE {_OURS} AND {_no_member("pg_proc", "p.oid")}
  UNION ALL
  SELECT format('schema %I', n.nspname), n.nspowner, coalesce(n.nspacl, acldefault('n', n.nspowner))
  FROM pg_namespace n WHERE {_OURS} AND {_no_member("pg_namespace", "n.oid")}
  UNION ALL
  SELECT 'the database itself', datdba, coalesce(datacl, acldefault('d', datdba))
  FROM pg_database WHERE datname = current_database()
  UNION ALL
  SELECT format('what %s creates in %s (%s)', defaclrole::regrole, coalesce(n.nspname, 'any schema'), defaclobjtype),
         defaclrole, defaclacl
  FROM pg_default_acl LEFT JOIN pg_namespace n ON n.oid = defaclnamespace
)
SELECT object, array_agg(DISTINCT CASE grantee WHEN 0 THEN 'PUBLIC' ELSE pg_get_userbyid(grantee) END
                         || ': ' || privilege_type || CASE WHEN is_grantable THEN ' with grant option' ELSE '' END)
FROM holders, aclexplode(rights) WHERE grantee <> owner GROUP BY 1
"""
