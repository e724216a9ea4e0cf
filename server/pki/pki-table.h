/* The report of server/pki/pki-report.h as a table for people. */
#ifndef NBDCRYPT_PKI_TABLE_H
#define NBDCRYPT_PKI_TABLE_H

#include <stdio.h>

#include <json-c/json.h>

/* A line for each item; the states are the words of the report. */
void pki_table_print(FILE *out, struct json_object *report);

#endif
