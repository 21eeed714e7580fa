/* SPDX-License-Identifier: MIT */
package hl7test;

import ca.uhn.hl7v2.DefaultHapiContext;
import ca.uhn.hl7v2.HapiContext;
import ca.uhn.hl7v2.app.Connection;
import ca.uhn.hl7v2.model.Message;
import ca.uhn.hl7v2.model.v251.message.ADT_A01;
import ca.uhn.hl7v2.model.v251.message.OMG_O19;
import ca.uhn.hl7v2.model.v251.segment.PID;
import ca.uhn.hl7v2.util.Terser;

/**
 * Sends messages that HAPI's own classes make, over one connection of its MLLP: an order (OMG^O19) of
 * HL7 v2.5.1 and the patient's new name (ADT^A08). Prints what HAPI reads in the answers, a line each: the
 * code, the control ID, whose answer it is, its type.
 * Send PORT ORDER-NUMBER PATIENT-ID
 */
public final class Send {
    private Send() {
    }

    private static void fill(PID pid, String id, String family) throws Exception {
        pid.getPatientIdentifierList(0).getIDNumber().setValue(id);
        pid.getPatientIdentifierList(0).getAssigningAuthority().getNamespaceID().setValue("HAPI");
        pid.getPatientName(0).getFamilyName().getSurname().setValue(family);
        pid.getPatientName(0).getGivenName().setValue("Jörg & Söhne");
        pid.getDateTimeOfBirth().getTime().setValue("19700102");
        pid.getAdministrativeSex().setValue("M");
    }

    private static void send(Connection connection, Message message) throws Exception {
        Terser terser = new Terser(message);
        terser.set("/MSH-3", "HAPI");
        terser.set("/MSH-18", "UNICODE UTF-8");
        Message answer = connection.getInitiator().sendAndReceive(message);
        Terser told = new Terser(answer);
        boolean same = terser.get("/MSH-10").equals(told.get("/MSA-2"));
        System.out.println(told.get("/MSA-1") + " " + same + " " + told.get("/MSH-5") + " " + told.get("/MSH-9-1"));
    }

    public static void main(String[] arguments) throws Exception {
        int port = Integer.parseInt(arguments[0]);
        try (HapiContext context = new DefaultHapiContext()) {
            ca.uhn.hl7v2.llp.MinLowerLayerProtocol protocol = new ca.uhn.hl7v2.llp.MinLowerLayerProtocol();
            protocol.setCharset("UTF-8");
            context.setLowerLayerProtocol(protocol);
            Connection connection = context.newClient("127.0.0.1", port, false);
            connection.getInitiator().setTimeout(30, java.util.concurrent.TimeUnit.SECONDS);

            OMG_O19 order = new OMG_O19();
            order.initQuickstart("OMG", "O19", "P");
            fill(order.getPATIENT().getPID(), arguments[2], "First");
            order.getORDER().getORC().getOrderControl().setValue("NW");
            order.getORDER().getORC().getPlacerOrderNumber().getEntityIdentifier().setValue(arguments[1]);
            order.getORDER().getOBR().getUniversalServiceIdentifier().getIdentifier().setValue("MRK");
            order.getORDER().getOBR().getUniversalServiceIdentifier().getText().setValue("MR knee");
            order.getORDER().getOBR().getDiagnosticServSectID().setValue("MR");
            order.getORDER().getOBR().getPlacerField1().setValue(arguments[1]);
            order.getORDER().getTIMING().getTQ1().getStartDateTime().getTime().setValue("20300102103000");
            send(connection, order);

            ADT_A01 update = new ADT_A01();
            update.initQuickstart("ADT", "A08", "P");
            update.getEVN().getRecordedDateTime().getTime().setValue(update.getMSH().getDateTimeOfMessage().getTime().getValue());
            fill(update.getPID(), arguments[2], "Second");
            send(connection, update);

            ADT_A01 odd = new ADT_A01();
            odd.initQuickstart("ADT", "A77", "P");
            fill(odd.getPID(), arguments[2], "Third");
            send(connection, odd);
            connection.close();
        }
    }
}
