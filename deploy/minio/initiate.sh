#!/bin/sh
# Makes the bucket and the user of the services, who may touch this bucket only. It may run twice.
set -eu
mc alias set local http://minio:9000 root "${MINIO_ROOT_PASSWORD:?see deploy/make-env.sh}" >/dev/null
mc mb --ignore-existing local/astrolens
mc admin user add local astrolens "${MINIO_PASSWORD:?see deploy/make-env.sh}"
cat >/tmp/policy.json <<'POLICY'
{
  "Version": "2012-10-17",
  "Statement": [
    {
      "Effect": "Allow",
      "Action": ["s3:ListBucket", "s3:GetBucketLocation", "s3:GetLifecycleConfiguration", "s3:PutLifecycleConfiguration"],
      "Resource": ["arn:aws:s3:::astrolens"]
    },
    {
      "Effect": "Allow",
      "Action": [
        "s3:GetObject", "s3:PutObject", "s3:DeleteObject",
        "s3:GetObjectTagging", "s3:PutObjectTagging", "s3:DeleteObjectTagging"
      ],
      "Resource": ["arn:aws:s3:::astrolens/*"]
    }
  ]
}
POLICY
mc admin policy create local astrolens-images /tmp/policy.json
# Attaching what is attached is an error to mc, so the outcome is asked for; the image has no grep.
mc admin policy attach local astrolens-images --user astrolens || true
case "$(mc admin user info local astrolens)" in
*astrolens-images*) ;;
*) echo "the user astrolens did not get its policy" >&2 && exit 1 ;;
esac
