"""A healthy cluster in SQL: of everything that databases hold, something."""

from __future__ import annotations

#: a name with quotes, spaces, a percent sign and letters beyond ASCII
ODD = "we\"ird 'n ü %s {x}"
#: moment of the backup: the newest heartbeat is 10 s older
CANARY = "2026-01-02T03:04:15Z"
#: the PITR target with the source's rows on both sides of it
MARKERS = {"target": "2026-01-02T03:00:00Z", "before": "2026-01-02T02:59:59Z", "after": "2026-01-02T03:00:01Z"}

CLUSTER = (
    "CREATE ROLE app LOGIN PASSWORD 'a-password-that-is-in-no-facts'",
    "CREATE ROLE readers",
    "CREATE ROLE auditor LOGIN CONNECTION LIMIT 3 IN ROLE readers",
    "ALTER ROLE app SET work_mem = '8MB'",
    "CREATE ROLE nobody_special LOGIN",
)

DATABASES = (
    "CREATE DATABASE shop OWNER app",
    'CREATE DATABASE "we""ird \'n ü %s {x}"',
    'GRANT CONNECT ON DATABASE "we""ird \'n ü %s {x}" TO readers WITH GRANT OPTION',
    "CREATE DATABASE empty",
    "CREATE DATABASE latin ENCODING 'LATIN1' TEMPLATE template0",
    "CREATE DATABASE international TEMPLATE template0 LOCALE_PROVIDER icu ICU_LOCALE 'en'",
    "CREATE DATABASE closed ALLOW_CONNECTIONS false",
)

ODD_TABLE = (
    'CREATE TABLE "tä ble ""%s"" \'x\'" ("id ä" serial PRIMARY KEY, "%s" text)',
    'INSERT INTO "tä ble ""%s"" \'x\'" ("%s") SELECT repeat(\'ü\', 50) FROM generate_series(1, 500)',
)

LATIN = ("CREATE TABLE names (id int PRIMARY KEY, name text)", "INSERT INTO names VALUES (1, 'Zoë')")

SHOP = (
    "CREATE EXTENSION hstore", "CREATE EXTENSION pg_trgm", "CREATE EXTENSION btree_gist",
    "CREATE EXTENSION postgres_fdw",
    "CREATE SCHEMA stock AUTHORIZATION app", "GRANT USAGE ON SCHEMA stock TO readers",
    "CREATE TYPE colour AS ENUM ('red', 'green')", "CREATE DOMAIN positive AS int CHECK (VALUE > 0)",
    "CREATE TYPE pair AS (a int, b text)",
    "CREATE TABLE identity (name text)", "INSERT INTO identity VALUES ('shop')",
    # numbers: serial, identity, by default, descending, cycling, ahead of its column, none
    "CREATE TABLE customers (id serial PRIMARY KEY, name text NOT NULL,"
    " code varchar(9) CHECK (code IN ('a', 'b', 'c')))",
    "INSERT INTO customers (name, code) SELECT 'customer ' || g, 'a' FROM generate_series(1, 300) g",
    "CREATE TABLE orders (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, customer int NOT NULL, total numeric,"
    " colour colour DEFAULT 'red', amount positive DEFAULT 1,"
    " CONSTRAINT customer_exists FOREIGN KEY (customer) REFERENCES customers DEFERRABLE INITIALLY DEFERRED)",
    "INSERT INTO orders (customer, total) SELECT 1 + g % 300, g FROM generate_series(1, 600) g",
    "CREATE SEQUENCE stock.invoice", "SELECT setval('stock.invoice', 400)",
    "CREATE TABLE stock.invoices (number bigint PRIMARY KEY DEFAULT nextval('stock.invoice'), note text)",
    "INSERT INTO stock.invoices SELECT g FROM generate_series(1, 400) g",
    "CREATE TABLE counters (id int PRIMARY KEY, descending int)",
    "CREATE SEQUENCE counters_descending_seq INCREMENT -1 OWNED BY counters.descending",
    "ALTER TABLE counters ALTER descending SET DEFAULT nextval('counters_descending_seq')",
    "INSERT INTO counters (id) SELECT generate_series(1, 20)",
    "CREATE SEQUENCE round MAXVALUE 5 CYCLE",
    "CREATE TABLE rounds (id int DEFAULT nextval('round'))", "INSERT INTO rounds SELECT FROM generate_series(1, 8)",
    "CREATE SEQUENCE ticket", "SELECT nextval('ticket') FROM generate_series(1, 70)", "CREATE SEQUENCE never_used",
    "CREATE TABLE by_hand (id serial PRIMARY KEY)", "INSERT INTO by_hand VALUES (50)",
    # what is damaged
    "CREATE TABLE archive (id int PRIMARY KEY, note text)",
    "INSERT INTO archive SELECT g, repeat('note ', 20) FROM generate_series(1, 1000) g",
    "CREATE TABLE unindexed (id int, note text)",
    "INSERT INTO unindexed SELECT g, repeat('note ', 20) FROM generate_series(1, 500) g",
    "CREATE TABLE documents (id int PRIMARY KEY, body text, words jsonb, tags text[])",
    "ALTER TABLE documents ALTER body SET STORAGE EXTERNAL",
    "INSERT INTO documents SELECT g, repeat('x', 5000), jsonb_build_object('n', g, 'w', md5(g::text)),"
    " ARRAY[md5(g::text)] FROM generate_series(1, 60) g",
    "CREATE INDEX documents_words ON documents USING gin (words)",
    "CREATE INDEX documents_tags ON documents USING gin (tags)",
    "CREATE FUNCTION upwards(int, int) RETURNS int LANGUAGE sql IMMUTABLE AS 'SELECT btint4cmp($1, $2)'",
    "CREATE FUNCTION downwards(int, int) RETURNS int LANGUAGE sql IMMUTABLE AS 'SELECT btint4cmp($2, $1)'",
    "CREATE OPERATOR CLASS fickle FOR TYPE int USING btree AS OPERATOR 1 < (int, int), OPERATOR 2 <= (int, int),"
    " OPERATOR 3 = (int, int), OPERATOR 4 >= (int, int), OPERATOR 5 > (int, int), FUNCTION 1 upwards(int, int)",
    "CREATE TABLE ordered (v int)", "INSERT INTO ordered SELECT generate_series(1, 400)",
    "CREATE INDEX ordered_v ON ordered USING btree (v fickle)",
    # every other index, and indexes of some rows or of expressions
    "CREATE TABLE shapes (id int, p point, r int4range, at timestamptz, name text, EXCLUDE USING gist (r WITH &&))",
    "INSERT INTO shapes SELECT g, point(g, g), int4range(g, g + 1), now(), 'n' || g FROM generate_series(1, 300) g",
    "CREATE INDEX shapes_hash ON shapes USING hash (id)", "CREATE INDEX shapes_brin ON shapes USING brin (at)",
    "CREATE INDEX shapes_spgist ON shapes USING spgist (p)", "CREATE INDEX shapes_gist ON shapes USING gist (p)",
    "CREATE INDEX shapes_some ON shapes (id) WHERE id > 100", "CREATE INDEX shapes_lower ON shapes (lower(name))",
    "CREATE INDEX shapes_trgm ON shapes USING gin (name gin_trgm_ops)",
    'CREATE INDEX shapes_icu ON shapes (name COLLATE "de-x-icu")',
    "DELETE FROM shapes WHERE id % 7 = 0", "VACUUM shapes",
    # partitions
    "CREATE TABLE measures (id int, part int, PRIMARY KEY (id, part)) PARTITION BY LIST (part)",
    "CREATE TABLE measures_1 PARTITION OF measures FOR VALUES IN (1)",
    "CREATE TABLE measures_2 PARTITION OF measures FOR VALUES IN (2) PARTITION BY RANGE (id)",
    "CREATE TABLE measures_2a PARTITION OF measures_2 FOR VALUES FROM (0) TO (1000)",
    "INSERT INTO measures SELECT g, 1 + g % 2 FROM generate_series(1, 400) g",
    "CREATE TABLE readings (id int, measure int, part int, FOREIGN KEY (measure, part) REFERENCES measures)"
    " PARTITION BY HASH (id)",
    "CREATE TABLE readings_0 PARTITION OF readings FOR VALUES WITH (MODULUS 1, REMAINDER 0)",
    "INSERT INTO readings SELECT g, g, 1 + g % 2 FROM generate_series(1, 100) g",
    "INSERT INTO readings VALUES (101, NULL, 1)",
    "CREATE TABLE parent (id int)", "CREATE TABLE child () INHERITS (parent)", "INSERT INTO child VALUES (1)",
    # what is empty, and what may be lost
    "CREATE TABLE nothing (id int PRIMARY KEY)", "CREATE TABLE no_columns ()",
    "CREATE UNLOGGED TABLE passing (id serial PRIMARY KEY, note text)",
    "INSERT INTO passing (note) SELECT 'note' FROM generate_series(1, 100)",
    # columns of all kinds, dropped ones, bloat
    "CREATE TABLE wide (id int, gone text, pair pair, pairs pair[], h hstore,"
    " twice int GENERATED ALWAYS AS (id * 2) STORED)",
    "INSERT INTO wide SELECT g, 'x', ROW(g, 'y'::text)::pair, ARRAY[ROW(g, 'z'::text)::pair], 'a=>1'"
    " FROM generate_series(1, 50) g",
    "ALTER TABLE wide DROP gone", "UPDATE wide SET id = id + 1", "ALTER TABLE wide ADD later int DEFAULT 7",
    # views, functions, triggers, policies, rights, large objects, servers elsewhere
    "CREATE VIEW dear AS SELECT * FROM orders WHERE total > 100",
    "CREATE MATERIALIZED VIEW totals AS SELECT customer, sum(total) FROM orders GROUP BY 1",
    "CREATE UNIQUE INDEX totals_customer ON totals (customer)",
    "CREATE MATERIALIZED VIEW later AS SELECT 1 AS one WITH NO DATA",
    "CREATE FUNCTION stamp() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN new; END'",
    "CREATE FUNCTION twice(n int) RETURNS int LANGUAGE sql BEGIN ATOMIC SELECT n * 2; END",
    "CREATE PROCEDURE nothing_much() LANGUAGE sql AS 'SELECT 1'", "REVOKE EXECUTE ON FUNCTION twice FROM PUBLIC",
    "CREATE TRIGGER stamped BEFORE UPDATE ON orders FOR EACH ROW WHEN (old.* IS DISTINCT FROM new.*)"
    " EXECUTE FUNCTION stamp()",
    "CREATE TRIGGER resting BEFORE INSERT ON customers FOR EACH ROW EXECUTE FUNCTION stamp()",
    "ALTER TABLE customers DISABLE TRIGGER resting",
    "ALTER TABLE customers ENABLE ROW LEVEL SECURITY", "CREATE POLICY own ON customers USING (name = current_user)",
    "GRANT SELECT ON orders TO readers", "GRANT SELECT (name) ON customers TO auditor", "GRANT ALL ON orders TO app",
    "ALTER DEFAULT PRIVILEGES IN SCHEMA stock GRANT SELECT ON TABLES TO readers",
    "SELECT lo_from_bytea(4711, 'a large object')",
    "CREATE SERVER elsewhere FOREIGN DATA WRAPPER postgres_fdw OPTIONS (host '/nonexistent')",
    "CREATE USER MAPPING FOR app SERVER elsewhere OPTIONS (user 'u')",
    "CREATE FOREIGN TABLE far (id int) SERVER elsewhere",
    "ALTER TABLE shapes ADD CONSTRAINT never_checked CHECK (id > 10) NOT VALID",
    # time
    "CREATE TABLE heartbeat (at timestamptz)",
    "INSERT INTO heartbeat SELECT '2026-01-02 03:04:05+00'::timestamptz - g * interval '100 s'"
    " FROM generate_series(0, 9) g",
    "CREATE TABLE markers (id int PRIMARY KEY, at timestamptz)",
    "INSERT INTO markers VALUES (1, '2026-01-02 02:59:58+00'), (2, '2026-01-02 02:59:59+00')",
    "VACUUM ANALYZE",
)  # fmt: skip
