#!/bin/sh
# Makes the roles that the API and the workers log in as. PostgreSQL's image runs it once, when the volume is first made;
# what they may do is granted by every migration.
set -eu

for part in api worker; do
    PASSWORD_FILE="${SECRETS_DIR:-/run/secrets}/database_${part}_password"
    export PASSWORD_FILE
    psql --no-psqlrc --quiet --set=ON_ERROR_STOP=1 --set=role="registration_$part" \
        --username="$POSTGRES_USER" --dbname="$POSTGRES_DB" <<'SQL'
\set password `cat "$PASSWORD_FILE"`
CREATE ROLE :"role" LOGIN PASSWORD :'password';
SQL
done
