-- Referrals: one for each person of a company. Times are UTC, in microseconds.
CREATE TABLE referrals (
    id             bytea       PRIMARY KEY,    -- 12 bytes, time-ordered
    company        text        NOT NULL,
    test           boolean     NOT NULL,
    person         text,                       -- keyed hash; NULL when erased
    kind           text        NOT NULL,
    rule           text        NOT NULL,
    language       text        NOT NULL,
    stage          text        NOT NULL,
    state          text        NOT NULL,
    counted        boolean     NOT NULL,
    opted_out      boolean     NOT NULL,
    offered_at     timestamptz NOT NULL,
    sent_at        timestamptz,
    opted_in_at    timestamptz,
    withdrawn_at   timestamptz,
    handed_over_at timestamptz,
    agency         text        NOT NULL,
    agency_at      timestamptz,
    human          bigint      NOT NULL,
    machine        bigint      NOT NULL,
    entry          bigint      NOT NULL,       -- ledger line that counts it, 0 for none
    links          json        NOT NULL,       -- the messages that carried a link to it
    consent        json                        -- the profile in it is sealed
);

-- One person of one company has one referral, whichever relay makes it.
CREATE UNIQUE INDEX referrals_person ON referrals (company, test, person);
CREATE INDEX referrals_company ON referrals (company, id);

-- SHA-256 of a link's token, and the referral that it leads to.
CREATE TABLE links (
    hash     bytea PRIMARY KEY,
    referral bytea NOT NULL
);

-- Persons whose referral was erased: they are not offered or counted again.
CREATE TABLE erased (
    company text    NOT NULL,
    person  text    NOT NULL,
    counted boolean NOT NULL,                  -- an erased referral of theirs counts
    PRIMARY KEY (company, person)
);

CREATE TABLE suppressed (
    company text        NOT NULL,
    person  text        NOT NULL,
    at      timestamptz NOT NULL,
    PRIMARY KEY (company, person)
);

-- The referral that counts for a person of several companies (first_company).
CREATE TABLE candidates (
    candidate text  PRIMARY KEY,
    referral  bytea NOT NULL
);

-- Running state of a company's two chains; its row lock orders their writers.
CREATE TABLE books (
    company text PRIMARY KEY,
    book    json NOT NULL
);

CREATE TABLE ledger (
    company text   NOT NULL,
    seq     bigint NOT NULL,
    line    json   NOT NULL,
    PRIMARY KEY (company, seq)
);

CREATE TABLE consents (
    company text   NOT NULL,
    seq     bigint NOT NULL,
    line    json   NOT NULL,
    PRIMARY KEY (company, seq)
);

CREATE TABLE introductions (
    company text   NOT NULL,
    number  bigint NOT NULL,
    line    json   NOT NULL,
    PRIMARY KEY (company, number)
);

-- Sums of events by month (2026-04) and rule; month '' is all time.
CREATE TABLE counters (
    company        text   NOT NULL,
    month          text   NOT NULL,
    rule           text   NOT NULL,
    seen           bigint NOT NULL,
    matched        bigint NOT NULL,
    near           bigint NOT NULL,
    inserted       bigint NOT NULL,
    sent           bigint NOT NULL,
    opened_human   bigint NOT NULL,
    opened_machine bigint NOT NULL,
    opted_in       bigint NOT NULL,
    opted_out      bigint NOT NULL,
    withdrawn      bigint NOT NULL,
    handed_over    bigint NOT NULL,
    introduced     bigint NOT NULL,
    hired          bigint NOT NULL,
    purged         bigint NOT NULL,
    PRIMARY KEY (company, month, rule)
);

-- Numbers of deliveries are never used again; gaps do no harm.
CREATE SEQUENCE outbox_id;

CREATE TABLE outbox (
    id       bigint      PRIMARY KEY DEFAULT nextval('outbox_id'),
    event    text        NOT NULL,
    referral text        NOT NULL,
    company  text        NOT NULL,
    at       timestamptz NOT NULL,
    attempts bigint      NOT NULL,
    next     timestamptz NOT NULL,
    error    text        NOT NULL,
    dead     boolean     NOT NULL
);

CREATE INDEX outbox_referral ON outbox (referral);

-- Consents that wait for the confirmation of another address.
CREATE TABLE held (
    hash     bytea       PRIMARY KEY,          -- SHA-256 of the mailed code
    referral text        NOT NULL,
    until    timestamptz NOT NULL,
    consent  json                              -- NULL once released
);

CREATE INDEX held_referral ON held (referral);

-- Links by company and slot of five minutes, for the burst guard.
CREATE TABLE paces (
    company text        NOT NULL,
    slot    timestamptz NOT NULL,
    allowed bigint      NOT NULL,
    refused bigint      NOT NULL,
    PRIMARY KEY (company, slot)
);

CREATE TABLE journal (
    seq  bigint PRIMARY KEY,
    line json   NOT NULL
);
