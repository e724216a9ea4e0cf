/* MESSAGE_ID of sd-journal: what a line is about, whatever its words are.  For good: who looks for
 * them has them in scripts.  nbdcrypt-service(7) lists them, and dist/systemd/nbdcrypt.catalog
 * explains them. */
#ifndef NBDCRYPT_LOG_IDS_H
#define NBDCRYPT_LOG_IDS_H

#define LOG_ID_CLIENT_ATTACHED "31983969c09444f79b879726aa3d03f7"   /* client.attached */
#define LOG_ID_CLIENT_DETACHED "fecba0a8a32949df8d02cd92d10ef58d"   /* client.detached */
#define LOG_ID_CLIENT_DENIED "2d8986d51bc7421b8e6eb99f53c29185"     /* client.denied */
#define LOG_ID_CLIENT_REFUSED "103a6b5ba2554ea5861259e359561eef"    /* client.refused */
#define LOG_ID_EXPORT_ADDED "735dcaf8bfd7488db0ebc1413a78c187"      /* export.added */
#define LOG_ID_EXPORT_REMOVED "94a1ecf6914f48c9888f6b6f45252b20"    /* export.removed */
#define LOG_ID_EXPORT_SUSPENDED "3ef1346cbc54429194465d138d2234da"  /* export.suspended */
#define LOG_ID_EXPORT_RESUMED "7c466acee9cd44b78f0184133d4026b6"    /* export.resumed */
#define LOG_ID_EXPORT_GROWN "b9c4d0f14b134a45a6e6108f277faf24"      /* export.grown */
#define LOG_ID_RELOAD_DONE "6d6b931beb684b4b873a20a6c5c60de3"       /* reload.done */
#define LOG_ID_RELOAD_FAILED "a794e3fac9a44907bb1fdb0c5c18691a"     /* reload.failed */
#define LOG_ID_SLOW_REQUEST "6b8f23f1180f42c79f959b9b1fac6b68"      /* slow-request */
#define LOG_ID_BACKEND_DOWN "7b41a0e035524115b97cea68d9cce760"      /* backend.down */
#define LOG_ID_BACKEND_UP "e5912d6aebd74f52acd26c6d382d1bab"        /* backend.up */
#define LOG_ID_TLS_RENEWED "3ea12a5697774905bb8ceca3bee5d03b"       /* tls.renewed */
#define LOG_ID_TLS_EXPIRING "7aa839cb4e0747d9a195b79eebaa3cad"      /* tls.expiring */
#define LOG_ID_REPORT_WRITTEN "443eeb6f16444467aa9e62119bacc358"    /* report.written */
#define LOG_ID_CONTROL_CHANGE "5f777dc2a56d45efb15377d2f2dc7489"    /* control.change */
#define LOG_ID_CONTROL_FAILED "a9fa5313b94d43a78b9a587ee1cef761"    /* control.failed */
#define LOG_ID_CONTROL_DENIED "e7c0d71ab6234ae091a45501ef0ce93a"    /* control.denied */
#define LOG_ID_SANDBOX_VIOLATION "494047cc156d44aeb82005dcbe94dbd5" /* sandbox.violation */
#define LOG_ID_AUDIT "f31bace29422491aa89db18366c1591a"             /* --audit-file journal */

#endif
