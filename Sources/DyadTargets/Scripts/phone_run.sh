#!/bin/sh
# Written by dyad benchmark. Runs the prefill chunk and the single step of this folder on a phone's Hexagon processor, and brings
# back what they put out and how long they took, for dyad benchmark --results.
#
#     QNN_SDK_ROOT=/opt/qairt/2.51.0 ./run.sh [-s SERIAL]
#
# Needs adb with one phone (or its serial number), and Qualcomm's AI Runtime SDK (QAIRT), which may not be passed on; its version
# should be that of the library which compiled the binaries (@VERSION@).
set -eu
cd "$(dirname "$0")"
sdk=${QNN_SDK_ROOT:?set it to the folder of Qualcomm\'s AI Runtime SDK}
place=${DYAD_DEVICE_FOLDER:-/data/local/tmp/dyad}

push() { adb "$@" >/dev/null; }
phone() { adb $serial shell "$1"; }
serial=$*

chip=$(phone "getprop ro.soc.model") || { echo "adb reaches no phone" >&2; exit 1; }
case $chip in
@CHIP@*) ;;
*)
    echo "this folder is for @CHIP@, and the phone says that it is ${chip:-nothing}: make one with dyad benchmark --target" >&2
    exit 1
    ;;
esac
phone "rm -rf $place && mkdir -p $place/results"
for file in "$sdk/bin/aarch64-android/qnn-net-run" "$sdk/lib/aarch64-android/libQnnHtp.so" \
    "$sdk/lib/aarch64-android/libQnnSystem.so" "$sdk/lib/aarch64-android/libQnnHtpV@ARCHITECTURE@Stub.so" \
    "$sdk/lib/hexagon-v@ARCHITECTURE@/unsigned/libQnnHtpV@ARCHITECTURE@Skel.so" prefill.bin decode.bin inputs; do
    echo "pushing $file" >&2
    push $serial push "$file" "$place/"
done
rm -rf results
mkdir results
for step in prefill decode; do
    echo "running $step @REPETITIONS@ times" >&2
    phone "cd $place && chmod +x qnn-net-run && LD_LIBRARY_PATH=. ADSP_LIBRARY_PATH=. ./qnn-net-run --backend libQnnHtp.so \
--retrieve_context $step.bin --input_list inputs/$step.txt --use_native_input_files --use_native_output_files \
--output_dir results/$step --num_inferences @REPETITIONS@ --keep_num_outputs 1 --perf_profile burst --profiling_level basic"
    push $serial pull "$place/results/$step" results/
    "$sdk/bin/x86_64-linux-clang/qnn-profile-viewer" --input_log "results/$step/qnn-profiling-data_0.log" \
        --output "results/$step/profile.csv" >/dev/null
done
phone "getprop ro.product.model; getprop ro.soc.model" >results/phone.txt
phone "rm -rf $place"
echo "done: dyad benchmark PROGRAM --results $(pwd)" >&2
